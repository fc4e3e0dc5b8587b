import { createSecureContext } from "node:tls";
import { fail, MemblastError } from "../errors.ts";
import { tlsReason } from "./failure.ts";

type Pem = string | Uint8Array;

/** TLS 1.2 or newer, always. Certificates and keys are PEM text, not file names. */
export interface TlsOptions {
  /** The own certificate, followed by those between it and the authority. Needed for listening. */
  readonly cert?: Pem | undefined;
  /** The private key of `cert`. Needed for listening. */
  readonly key?: Pem | undefined;
  /** Of the key, where it is encrypted. */
  readonly passphrase?: string | undefined;
  /** The authorities that the other side's certificate may come from, in place of the well-known ones, which are the default. */
  readonly ca?: Pem | readonly Pem[] | undefined;
  /** Lists of revoked certificates, as PEM text. With one of them, each authority that vouches for the other side needs its own. */
  readonly crl?: Pem | readonly Pem[] | undefined;
  /** Listening: a link must show a certificate that `ca` vouches for. Default false. */
  readonly clientCertificates?: boolean | undefined;
  /** Connecting: the name that the other side's certificate must bear, where it is not the address's host. */
  readonly serverName?: string | undefined;
  /** Connecting: takes any certificate. Anyone in between can then read and change everything. Default false. */
  readonly insecure?: boolean | undefined;
}

export function listenTls(options: TlsOptions | undefined): Bun.TLSOptions {
  if (!options?.cert || !options.key) {
    return fail("INVALID_OPTION", "Listening with TLS needs `tls: { cert, key }`, both as PEM text.", {
      path: ["tls"],
    });
  }
  if (options.clientCertificates && !options.ca) {
    fail("INVALID_OPTION", "`tls.clientCertificates` needs `tls.ca`, the authority that vouches for them.", {
      path: ["tls", "ca"],
    });
  }
  return {
    ...credentials(options),
    requestCert: options.clientCertificates === true,
    // The listener looks at every one itself, so that it can still say why before it closes.
    rejectUnauthorized: false,
  };
}

export function connectTls(options: TlsOptions | undefined, host: string): Bun.TLSOptions {
  return {
    ...credentials(options ?? {}),
    // Said outright, because an environment variable could turn the default off.
    rejectUnauthorized: options?.insecure !== true,
    serverName: options?.serverName ?? host,
  };
}

/** Tries what a connection would need only later. @throws INVALID_OPTION */
export function tryCredentials(options: TlsOptions): void {
  try {
    createSecureContext(credentials(options));
  } catch (error) {
    throw badCredentials(error) ?? error;
  }
}

/** INVALID_OPTION if the error says that a certificate or key could not be used, else null. */
export function badCredentials(error: unknown): MemblastError | null {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string" || !/^ERR_(OSSL|BORINGSSL|CRYPTO)/.test(code)) return null;
  return new MemblastError(
    "INVALID_OPTION",
    `Something in the option \`tls\` cannot be used (${tlsReason(error)}): all of it is PEM text, the key has to fit the certificate, ` +
      "and the passphrase the key.",
    { path: ["tls"], systemCode: code },
    error,
  );
}

function credentials(options: TlsOptions) {
  const { cert, key, passphrase, ca, crl } = options;
  return {
    ...(cert !== undefined && { cert: text(cert) }),
    ...(key !== undefined && { key: text(key) }),
    ...(passphrase !== undefined && { passphrase }),
    ...(ca !== undefined && { ca: [ca].flat().map(text) }),
    ...(crl !== undefined && { crl: [crl].flat().map(text) }),
  };
}

function text(pem: Pem): string {
  return typeof pem === "string" ? pem : new TextDecoder().decode(pem);
}
