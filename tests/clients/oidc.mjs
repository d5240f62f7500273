// An OpenID provider (node-oidc-provider) whose keys are changed at POST /rotate. Says its address on stdout. GET /counts: how often its documents were asked for.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import http from "node:http";
import Provider from "oidc-provider";

const algorithm = process.env.OIDC_ALGORITHM ?? "RS256";
const kinds = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }] };
const counts = { discovery: 0, jwks: 0 };
const keys = [];

function addKey() {
  const { privateKey } = generateKeyPairSync(...kinds[algorithm]);
  keys.unshift({ ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: algorithm });
  keys.splice(2); // the one before stays, so that tokens in use go on
}

function makeProvider(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{ client_id: "loader", client_secret: "a-secret-of-the-tests", grant_types: ["client_credentials"], redirect_uris: [], response_types: [], id_token_signed_response_alg: algorithm }],
    scopes: ["regions:read", "datasets:read"],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:sluice",
        getResourceServerInfo: () => ({
          scope: "regions:read datasets:read", audience: "sluice", accessTokenFormat: "jwt", accessTokenTTL: 600, jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    extraTokenClaims: () => ({ customer: "acme", tier: "test" }),
  });
  return provider.callback();
}

addKey();
let answer;
const server = http.createServer((request, response) => {
  const path = new URL(request.url, "http://x").pathname;
  if (path === "/rotate") {
    addKey();
    answer = makeProvider(issuer);
    response.end(keys[0].kid);
  } else if (path === "/counts") {
    response.end(JSON.stringify(counts));
  } else {
    counts.discovery += path.startsWith("/.well-known/");
    counts.jwks += path === "/jwks";
    answer(request, response);
  }
});
let issuer;
server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  answer = makeProvider(issuer);
  console.log(issuer);
});
