"""What people may do.

people  all_people person invite reset_link disable enable remove remove_second_factor sessions_of end_sessions
groups  all_groups group make rename delete add_member remove_member
roles   all_roles role uses make change delete
grants  all_grants grants_of grant resolved give take
rights  changing require_holds require_holds_all_of: the turn in which rights change
givers  who_can_give
"""
