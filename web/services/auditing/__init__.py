"""What was done, by whom, and that nobody changed it since.

audit          note: an entry in the transaction that does what it tells of
denials        what was refused
audit_reading  for the page and the export
audit_seals    the chain over what was noted
"""
