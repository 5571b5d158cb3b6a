//! The audio core of Reelkeeper.
