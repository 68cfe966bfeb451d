// A real OpenID Connect provider for the identity tests: `PORT=23000 node provider.mjs`.
//
// JWKS_FILE holds its private keys (a JSON Web Key Set); the first one that fits the algorithm signs. The tests write it,
// so that they can rotate keys by starting the provider anew on the same port.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const port = Number(process.env.PORT);
const issuer = `http://127.0.0.1:${port}`;
const algorithm = process.env.ALGORITHM ?? 'ES256';

const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync(process.env.JWKS_FILE, 'utf8')),
  clients: [
    {
      client_id: 'claims-batch',
      client_secret: 'claims-batch-secret-0123456789',
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: algorithm,
      grant_types: ['client_credentials'],
    },
    {
      client_id: 'stranger',
      client_secret: 'stranger-secret-0123456789abc',
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: algorithm,
      grant_types: ['client_credentials'],
    },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'gateway:invoke',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
  extraTokenClaims: () => ({ groups: ['batch'], realm_access: { roles: ['writer'] } }),
  cookies: { keys: ['test-only'] },
});

const server = provider.listen(port, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
