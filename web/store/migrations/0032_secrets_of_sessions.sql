-- A secret that awaits its first code is shown to the session that began it, and to no other of its account.
ALTER TABLE second_factor ADD COLUMN begun_by uuid;
