// SPDX-License-Identifier: Apache-2.0
//
// A real OpenID Connect provider on this machine, whose people log in by saying who they are (`login_hint`):
//
//   node provider.js '{"port": 20000, "callback": "http://…", "people": {"alice": ["site-staff"]}}'
//
// Every start makes new keys. What it says of a person is the claim `roles`. The people who follow get ID tokens that do not
// hold, as of a provider that somebody has taken over, or of another one.

import { createServer } from 'node:http';
import { SignJWT, decodeJwt, exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const { port, callback, people } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const client = { client_id: 'mhealth', client_secret: 'a-secret-of-the-provider-and-the-server' };

const { privateKey } = await generateKeyPair('RS256', { extractable: true });
const { privateKey: strange } = await generateKeyPair('RS256');
const kid = `key-${Date.now()}`;

const provider = new Provider(issuer, {
  clients: [{ ...client, redirect_uris: [callback] }],
  jwks: { keys: [{ ...(await exportJWK(privateKey)), kid, use: 'sig', alg: 'RS256' }] },
  claims: { openid: ['sub', 'roles'] },
  // In the ID token, as most providers have it.
  conformIdTokenClaims: false,
  cookies: { keys: ['a key of the cookies'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/people/${interaction.uid}` },
  findAccount: (_, name) => ({
    accountId: name,
    claims: () => ({ sub: name, roles: people[name] ?? people.alice }),
  }),
  // Nobody is asked whether the server may know who it is.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
});

const signed = (claims, key = privateKey, header = { alg: 'RS256', kid }) =>
  new SignJWT(claims).setProtectedHeader(header).sign(key);
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

const lies = {
  'wrong-nonce': (claims) => signed({ ...claims, nonce: 'another' }),
  'no-nonce': ({ nonce, ...claims }) => signed(claims),
  'wrong-audience': (claims) => signed({ ...claims, aud: 'another' }),
  'two-audiences': (claims) => signed({ ...claims, aud: ['mhealth', 'another'] }),
  'wrong-issuer': (claims) => signed({ ...claims, iss: 'https://another.example' }),
  expired: (claims) => signed({ ...claims, exp: claims.iat - 10 }),
  'wrong-key': (claims) => signed(claims, strange),
  'unknown-key': (claims) => signed(claims, strange, { alg: 'RS256', kid: 'another' }),
  'by-the-secret': (claims) =>
    signed(claims, new TextEncoder().encode(client.client_secret.padEnd(32)), { alg: 'HS256' }),
  unsigned: (claims) => `${base64({ alg: 'none' })}.${base64(claims)}.`,
  nameless: ({ sub, ...claims }) => signed(claims),
};

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/people/')) {
    const { params } = await provider.interactionDetails(ctx.req, ctx.res);
    const result =
      params.login_hint === 'stranger'
        ? { error: 'access_denied' }
        : { login: { accountId: params.login_hint } };
    ctx.respond = false;
    await provider.interactionFinished(ctx.req, ctx.res, result);
    return;
  }
  await next();
  const token = ctx.body?.id_token;
  if (token) {
    const claims = decodeJwt(token);
    const lie = lies[claims.sub];
    if (lie) ctx.body = { ...ctx.body, id_token: await lie(claims) };
  }
});

createServer(provider.callback()).listen(port, '127.0.0.1', () => {
  console.log(`listening on ${issuer}`);
});
// Ends with whoever started it.
process.stdin.on('end', () => process.exit()).resume();
