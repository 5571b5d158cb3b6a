"""Breaks a running Reelkeeper on purpose, and judges what is left."""
