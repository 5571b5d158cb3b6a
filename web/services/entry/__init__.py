"""How somebody gets in, and stays in.

accounts       changing one's own: password, second factor, sessions
sign_in        with a password, then perhaps a code
single_sign_on through an OpenID provider, which `openid` speaks to; `sign_on_rates` bounds how often
sign_in_rules  who has to have a second factor
tokens         for programs; `api_rates` bounds what each may ask
"""
