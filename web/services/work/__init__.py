"""Recordings, and the jobs that make them.

recordings  start_recording stop_recording cancel_recording
jobs        claim_next heartbeat finish_job record_events change_no_of
reach       out_of_reach
retry       a new attempt of the same recording
endings     what the end of a job means for its recording
profiles    all_profiles profile uses make change protect make_default delete
"""
