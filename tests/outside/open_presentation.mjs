// Opens a presentation (SD-JWT, RFC 9901) with the packages @sd-jwt/core and jose,
// and with nothing of ours.
//
// usage: open_presentation.mjs NODE_MODULES PRESENTATION PUBLIC-KEY [FIELD…]
//
// The public key is base64url of its 32 bytes. Prints the payload with the
// private fields in their places; with FIELDs such as data.address, of a
// presentation that shows these only.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, path, x, ...fields] = process.argv.slice(2);
const resolve = createRequire(join(modules, "..", "index.js")).resolve;
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { compactVerify, importJWK } = await load("jose");
const core = await load("@sd-jwt/core");
const { SDJwtInstance } = core.default ?? core;

const key = await importJWK({ kty: "OKP", crv: "Ed25519", x }, "Ed25519");
const sdjwt = new SDJwtInstance({
  hasher: (data, algorithm) =>
    new Uint8Array(createHash(algorithm.replace("-", "")).update(Buffer.from(data)).digest()),
  hashAlg: "sha-256",
  saltGenerator: (length) => randomBytes(length).toString("base64url"),
  verifier: async (data, signature) => {
    await compactVerify(`${data}.${signature}`, key, { algorithms: ["Ed25519"] });
    return true;
  },
});

let text = readFileSync(path, "utf8");
if (fields.length > 0) {
  const frame = {};
  for (const field of fields) {
    const names = field.split(".");
    const last = names.pop();
    names.reduce((object, name) => (object[name] ??= {}), frame)[last] = true;
  }
  text = await sdjwt.present(text, frame);
}
const { payload } = await sdjwt.verify(text);
process.stdout.write(JSON.stringify(payload));
