// Verifies the signature of a record with the package jose, and with nothing of ours.
//
// usage: verify_record.mjs NODE_MODULES RECORD.JWS PUBLIC-KEY KID
//
// The public key is base64url of the 32 bytes of Ed25519, or a file in PEM, which
// is one of ES256. Prints the payload.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, path, publicKey, kid] = process.argv.slice(2);
const resolve = createRequire(join(modules, "..", "index.js")).resolve;
const { compactVerify, importJWK, importSPKI } = await import(pathToFileURL(resolve("jose")).href);

const algorithm = publicKey.endsWith(".pem") ? "ES256" : "Ed25519";
const key =
  algorithm === "ES256"
    ? await importSPKI(readFileSync(publicKey, "utf8"), algorithm)
    : await importJWK({ kty: "OKP", crv: "Ed25519", x: publicKey }, algorithm);
const jws = readFileSync(path, "utf8");
const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: [algorithm] });
if (protectedHeader.kid !== kid || protectedHeader.typ !== "quittance-record") {
  throw new Error(`another header: ${JSON.stringify(protectedHeader)}`);
}
process.stdout.write(new TextDecoder().decode(payload));
