// A real OpenID provider on loopback: `node openid_provider.mjs PEOPLE.json`, which says who has which claims.
// It prints its address. People sign in with any password, and clients without TLS may come from any port of loopback.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const people = process.argv[2];
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'reelkeeper',
      client_secret: 'a secret of the test alone',
      application_type: 'native',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: ['http://127.0.0.1/sign-in/single/back'],
    }],
    pkce: { required: () => true },
    conformIdTokenClaims: process.argv[3] === 'userinfo',
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email'] },
    cookies: { keys: ['of the test'] },
    findAccount: (ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, ...JSON.parse(readFileSync(people, 'utf8'))[sub] }),
    }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
