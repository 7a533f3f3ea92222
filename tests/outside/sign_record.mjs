// Signs a record with node's own crypto, as a program with a hardware module or
// .NET would: ES256, r and s in 32 bytes each, s wherever it falls.
//
// usage: sign_record.mjs KEY.PEM KID PAYLOAD.json lower|upper|der
//
// Prints the JWS. "upper" signs until s is in the upper half, as half of all
// signatures are; "lower" normalises; "der" writes what JOSE does not.

import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const [path, kid, payload, form] = process.argv.slice(2);
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const key = createPrivateKey(readFileSync(path));
const base64url = (bytes) => Buffer.from(bytes).toString("base64url");
const header = JSON.stringify({ alg: "ES256", kid, typ: "quittance-record" });
const input = `${base64url(header)}.${base64url(readFileSync(payload))}`;
const signed = (dsaEncoding) => sign("sha256", Buffer.from(input), { key, dsaEncoding });
const s = (signature) => BigInt(`0x${signature.subarray(32).toString("hex")}`);

let signature = signed(form === "der" ? "der" : "ieee-p1363");
if (form === "upper") {
  while (s(signature) <= N / 2n) signature = signed("ieee-p1363");
} else if (form === "lower" && s(signature) > N / 2n) {
  const lower = (N - s(signature)).toString(16).padStart(64, "0");
  signature = Buffer.concat([signature.subarray(0, 32), Buffer.from(lower, "hex")]);
}
process.stdout.write(`${input}.${base64url(signature)}`);
