//! A stop that is asked for by a signal, and that comes in time whatever the rest of the process does.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

const LOOK: Duration = Duration::from_millis(500);
const STATUS: &str = "/proc/self/status";

/// Waits until one of these signals is told, a byte with its number, or waits for a thread that the kernel does not let go (on a
/// disk that hangs, say). False when nobody tells any more.
///
/// # Errors
/// `Io`.
pub fn hears_signal(mut told: UnixStream, signals: &[u8]) -> Result<bool> {
    let fault = Error::io("hear of signals through", Path::new("the wake-up socket"));
    if let Err(refused) = told.set_read_timeout(Some(LOOK)) {
        return Err(fault(refused));
    }
    let mut numbers = [0; 64];
    loop {
        match told.read(&mut numbers) {
            Ok(0) => return Ok(false),
            Ok(count) if numbers[..count].iter().any(|number| signals.contains(number)) => return Ok(true),
            Ok(_) => {}
            Err(pause) if matches!(pause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if is_pending(
                    &std::fs::read_to_string(STATUS).map_err(Error::io("read", Path::new(STATUS)))?,
                    signals,
                ) {
                    return Ok(true);
                }
            }
            Err(again) if again.kind() == ErrorKind::Interrupted => {}
            Err(broken) => return Err(fault(broken)),
        }
    }
}

/// The process ends with 0 after this time, unless it has ended by then. Nothing is written out, and nothing is asked of anybody.
pub fn end_process_after(limit: Duration) {
    thread::spawn(move || {
        thread::sleep(limit);
        // SAFETY: it takes no pointer and does not return.
        unsafe { libc::_exit(0) }
    });
}

/// Whether one of the signals stands in the mask of those that wait for any thread of the process.
fn is_pending(status: &str, signals: &[u8]) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let bit = |number: u8| 1u64.checked_shl(u32::from(number.wrapping_sub(1))).unwrap_or_default();
    signals.iter().any(|number| mask & bit(*number) != 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TERM: u8 = 15;

    #[test]
    fn hears_of_its_signals_alone_until_nobody_tells_any_more() {
        let (mut tells, told) = UnixStream::pair().expect("a pair");
        tells.write_all(&[17, TERM]).expect("room");
        assert!(hears_signal(told, &[TERM]).expect("a signal or none"));
        let (mut tells, told) = UnixStream::pair().expect("a pair");
        tells.write_all(&[17]).expect("room");
        drop(tells);
        assert!(!hears_signal(told, &[TERM]).expect("a signal or none"));
    }

    #[test]
    fn signal_that_waits_is_seen_in_the_status() {
        assert!(is_pending("SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n", &[2, TERM]));
        assert!(!is_pending("SigPnd:\t0000000000004000\nShdPnd:\t0000000000010000\n", &[2, TERM]));
    }
}
