//! The growth-stall guard: what should grow and does not is seen within seconds.

/// What a guard says about the bytes it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The count moved a moment ago.
    Growing,
    /// The count has stood still for a little while, which a busy machine may explain.
    Quiet,
    /// The count has stood still for so long that something must be done.
    Stalled,
}

impl Growth {
    /// The word used in Python and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Quiet => "quiet",
            Self::Stalled => "stalled",
        }
    }
}

/// Watches one counter of bytes. It compares with the last count only, never with the largest one,
/// so that a new and smaller file counts as growth.
#[derive(Clone, Debug)]
pub struct GrowthGuard {
    quiet_after_seconds: f64,
    stalled_after_seconds: f64,
    last: Option<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    at_seconds: f64,
    bytes: u64,
}

impl GrowthGuard {
    /// A guard that has seen nothing yet. Both limits are seconds without a change.
    pub fn new(quiet_after_seconds: f64, stalled_after_seconds: f64) -> Self {
        Self { quiet_after_seconds, stalled_after_seconds, last: None }
    }

    /// Notes the count at an instant of any clock that does not run backwards; the first call counts as growth.
    pub fn observe(&mut self, now_seconds: f64, bytes: u64) -> Growth {
        let still_seconds = match self.last {
            Some(last) if last.bytes == bytes => now_seconds - last.at_seconds,
            _ => {
                self.last = Some(Change { at_seconds: now_seconds, bytes });
                0.0
            }
        };
        if still_seconds >= self.stalled_after_seconds {
            Growth::Stalled
        } else if still_seconds >= self.quiet_after_seconds {
            Growth::Quiet
        } else {
            Growth::Growing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_still_becomes_quiet_and_then_stalled() {
        let mut guard = GrowthGuard::new(1.0, 3.0);
        assert_eq!(guard.observe(10.0, 500), Growth::Growing);
        assert_eq!(guard.observe(10.9, 500), Growth::Growing);
        assert_eq!(guard.observe(11.0, 500), Growth::Quiet);
        assert_eq!(guard.observe(13.0, 500), Growth::Stalled);
        assert_eq!(guard.observe(13.1, 501), Growth::Growing);
    }

    #[test]
    fn a_smaller_second_file_counts_as_growth() {
        let mut guard = GrowthGuard::new(1.0, 3.0);
        guard.observe(0.0, 1_000_000);
        for second in 1..60 {
            assert_eq!(guard.observe(f64::from(second), u64::from(second as u32) * 10), Growth::Growing);
        }
    }
}
