"""Nodes.

joining     create_enrolment_code create_rejoin_code open_codes code_standing revoke_code enrol authenticate_node
            rotate_token tokens_of ask_for_rotation revoke_tokens
nodes       begin_run update_inventory set_capacity set_capture_format prefer_interface arm_interface
            set_minimum_bytes describe name_interface enable_interface
node_life   drain end_drain remove acknowledge
node_groups all_groups create change remove
standing    what the dashboard says: what records now, what needs attention, cards of nodes
meters      levels of its inputs, as long as somebody looks
"""
