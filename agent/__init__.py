"""The recorder agent: takes jobs, keeps their recordings, delivers them. A capture never needs it to go on."""
