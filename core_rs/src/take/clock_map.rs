//! Which frame was captured at which instant.
//!
//! Deliveries may be late, never early: so the smallest distance between an instant and the nominal time of its frame, over the
//! last ten seconds, is taken for the truth. A clock that drifts by 200 ppm moves by 2 ms in that time.

/// Frames to boot-time instants, by the nominal rate and the least late of recent deliveries.
#[derive(Clone, Debug)]
pub struct ClockMap {
    rate_hz: i128,
    /// Least distance seen in each quarter of a second; the last one is the newest.
    quarters: [Option<i64>; QUARTERS],
    newest: u64,
    /// What held before the first delivery: known from before a crash.
    seed_ns: Option<i64>,
}

const QUARTERS: usize = 40;

impl ClockMap {
    /// A map that knows nothing yet.
    pub fn new(rate_hz: u32) -> Self {
        Self { rate_hz: i128::from(rate_hz), quarters: [None; QUARTERS], newest: 0, seed_ns: None }
    }

    /// What to believe until the first delivery: that this frame was captured at that instant.
    pub fn seed(&mut self, frame: u64, boottime_ns: i64) {
        self.seed_ns = Some(self.offset(frame, boottime_ns));
    }

    /// Notes that this frame was delivered as captured at that instant. Frames do not run backwards.
    pub fn observe(&mut self, frame: u64, boottime_ns: i64) {
        let offset = self.offset(frame, boottime_ns);
        let quarter = frame / (self.rate_hz as u64 / 4);
        let steps = quarter.saturating_sub(self.newest).min(QUARTERS as u64) as usize;
        if steps > 0 {
            self.quarters.rotate_left(steps);
            self.quarters[QUARTERS - steps..].fill(None);
            self.newest = quarter;
        }
        let least = &mut self.quarters[QUARTERS - 1];
        *least = Some(least.map_or(offset, |known| known.min(offset)));
    }

    /// The boot time of frame 0, extrapolated; none before the first delivery.
    pub fn offset_ns(&self) -> Option<i64> {
        self.quarters.iter().flatten().copied().min().or(self.seed_ns)
    }

    /// The frame captured at an instant, never below 0; none before the first delivery.
    pub fn frame_at(&self, boottime_ns: i64) -> Option<u64> {
        let elapsed_ns = i128::from(boottime_ns) - i128::from(self.offset_ns()?);
        let frame = (elapsed_ns * self.rate_hz + 500_000_000).div_euclid(1_000_000_000);
        Some(u64::try_from(frame.max(0)).unwrap_or(u64::MAX))
    }

    fn offset(&self, frame: u64, boottime_ns: i64) -> i64 {
        boottime_ns.saturating_sub(frames_to_ns(frame, self.rate_hz as u32))
    }
}

/// How long this many frames last by the nominal rate.
pub fn frames_to_ns(frames: u64, rate_hz: u32) -> i64 {
    let ns = u128::from(frames) * 1_000_000_000 / u128::from(rate_hz);
    i64::try_from(ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn late_deliveries_do_not_move_the_map() {
        let mut map = ClockMap::new(48_000);
        for period in 0..100 {
            let late = if period % 10 == 3 { 0 } else { (period as i64 * 7 % 40) * MS };
            map.observe(period * 1_024, 5_000 * MS + frames_to_ns(period * 1_024, 48_000) + late);
        }
        assert_eq!(map.frame_at(6_000 * MS), Some(48_000));
        assert_eq!(map.frame_at(0), Some(0));
    }

    #[test]
    fn a_drifting_clock_is_followed_within_ten_seconds() {
        let mut map = ClockMap::new(48_000);
        let period_ns = 21_333_333 * 10_002 / 10_000;
        for period in 0..10_000u64 {
            map.observe(period * 1_024, period as i64 * period_ns);
        }
        let at = map.frame_at(9_999 * period_ns).expect("fed");
        assert!(at.abs_diff(9_999 * 1_024) <= 48_000 * 3 / 1_000, "{at}");
    }

    #[test]
    fn a_seed_holds_until_the_first_delivery() {
        let mut map = ClockMap::new(8_000);
        assert_eq!(map.frame_at(0), None);
        map.seed(8_000, 3_000 * MS);
        assert_eq!(map.frame_at(4_000 * MS), Some(16_000));
        map.observe(16_000, 9_000 * MS);
        assert_eq!(map.frame_at(9_000 * MS), Some(16_000));
    }

    #[test]
    fn absurd_instants_saturate() {
        let mut map = ClockMap::new(384_000);
        map.observe(u64::MAX, i64::MIN);
        assert!(map.frame_at(i64::MAX).is_some());
        assert!(map.frame_at(i64::MIN).is_some());
    }
}
