"""How somebody gets in, and stays in.

accounts       changing one's own: password, second factor, sessions
sign_in        with a password, then perhaps a code
single_sign_on through an OpenID provider, which `openid` speaks to
tokens         for programs; `api_rates` bounds what each may ask
"""
