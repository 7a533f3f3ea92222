// Verifies the signature of a record with the package jose, and with nothing of ours.
//
// usage: verify_record.mjs NODE_MODULES RECORD.JWS PUBLIC-KEY KID
//
// The public key is base64url of its 32 bytes. Prints the payload.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, path, x, kid] = process.argv.slice(2);
const resolve = createRequire(join(modules, "..", "index.js")).resolve;
const { compactVerify, importJWK } = await import(pathToFileURL(resolve("jose")).href);

const key = await importJWK({ kty: "OKP", crv: "Ed25519", x }, "Ed25519");
const jws = readFileSync(path, "utf8");
const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["Ed25519"] });
if (protectedHeader.kid !== kid || protectedHeader.typ !== "quittance-record") {
  throw new Error(`another header: ${JSON.stringify(protectedHeader)}`);
}
process.stdout.write(new TextDecoder().decode(payload));
