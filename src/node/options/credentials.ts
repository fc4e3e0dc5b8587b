import { z } from "zod";
import { exactly } from "./complaint.ts";

function expected(label: string, what: string): string {
  return `${what} is PEM text (-----BEGIN ${label}-----) or its bytes, not the name of a file`;
}

/** Text in PEM with something of this kind in it, or its bytes, which become text. */
function pem(label: string, what: string) {
  const mark = new RegExp(`-----BEGIN ([A-Z0-9]+ )*${label}-----`);
  const error = expected(label, what);
  return z
    .union([z.string(), z.instanceof(Uint8Array)], error)
    .transform((given) => (typeof given === "string" ? given : new TextDecoder().decode(given)))
    .refine((text) => mark.test(text), error);
}

function oneOrMore(label: string, what: string) {
  const error = `${expected(label, what)}; a list of several is not empty`;
  return z.union([pem(label, what), z.array(pem(label, what)).min(1, error)], error);
}

const shape = {
  cert: pem("CERTIFICATE", "a certificate").optional(),
  key: pem("PRIVATE KEY", "a private key").optional(),
  passphrase: z.string().optional(),
  ca: oneOrMore("CERTIFICATE", "the certificate of an authority").optional(),
  crl: oneOrMore("X509 CRL", "a list of revoked certificates").optional(),
  clientCertificates: z.boolean().optional(),
  serverName: z.string().min(1).optional(),
  insecure: z.boolean().optional(),
};

/** The option `tls`: nothing in it may be misspelt, or it would protect less than it says. See TlsOptions. */
export const tlsOption = exactly(shape, "it is { cert?, key?, ca? ... }, with PEM text in them").refine(
  ({ cert, key }) => (cert === undefined) === (key === undefined),
  "cert and key need each other",
);
