#!/bin/sh
# Makes speech.flac again: our own words, spoken by espeak-ng, mono 48 kHz. Needs espeak-ng, sox and flac.
# The 12-bit depth (four zero bits a sample) and the low pass keep the file small.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
wav=$(mktemp --suffix=.wav)
trap 'rm -f "$wav"' EXIT
espeak-ng -v en-gb -s 165 --stdout \
    "This is Reelkeeper. What was said in this room is on record, and every gap is listed. Press stop, and listen." |
    sox -t wav - -t wav - gain -n -3 rate -v 48000 lowpass 6000 lowpass 6000 pad 0.2 0.6 gain -24 |
    sox -D -t wav - -b 16 "$wav" vol 16
flac --silent --force --best --output-name="$folder/speech.flac" "$wav"
