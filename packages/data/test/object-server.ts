/**
 * An object server on loopback for the tests: ranges, ETags and conditions as HTTP has them, signatures and lists as S3
 * has them, and faults on demand. Written from the protocols, so that it answers what a real server answers.
 */
import { createHash, createHmac } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What goes wrong with one answer. Byte counts are of the range that was asked for. */
export type Fault =
  /** The connection breaks after so many bytes. */
  | { readonly kind: "drop"; readonly after: number }
  /** The answer ends, properly as far as HTTP goes, after so many bytes. */
  | { readonly kind: "truncate"; readonly after: number }
  /** Nothing more comes after so many bytes; undefined: not even headers. */
  | { readonly kind: "stall"; readonly after?: number }
  /** All comes, but late. */
  | { readonly kind: "delay"; readonly ms: number }
  | { readonly kind: "status"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The whole object, status 200. */
  | { readonly kind: "ignore-range" }
  /** The bytes of another place, honestly labelled. */
  | { readonly kind: "other-range" }
  /** More bytes than were asked for. */
  | { readonly kind: "excess" };

/** A request for an object. */
export interface ServedRequest {
  readonly path: string;
  readonly first: number;
  readonly last: number;
  readonly headers: IncomingMessage["headers"];
}

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

/** How an object is put: by default with an ETag of its content and a date. */
export interface PutOptions {
  readonly etag?: "strong" | "weak" | "none";
  readonly lastModified?: "date" | "none";
}

/** Keys that S3 requests must be signed with; a request without a signature is then refused. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export class ObjectServer implements AsyncDisposable {
  /** Requests for objects, in order. */
  readonly requests: ServedRequest[] = [];
  /** Connections that were made. */
  connections = 0;
  /** Most requests for objects that were under way at a time. */
  mostAtOnce = 0;
  #atOnce = 0;
  /** Decides what goes wrong; undefined: nothing. */
  fault: (request: ServedRequest, number: number) => Fault | undefined = () => undefined;
  readonly #objects: Map<string, StoredObject> = new Map();
  readonly #server: Server;
  readonly #credentials: Credentials | undefined;
  /** Keys on a page of a list: few, so that lists have pages. */
  readonly #pageKeys: number = 2;

  private constructor(credentials: Credentials | undefined) {
    this.#credentials = credentials;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on("connection", () => this.connections++);
  }

  /** Starts one on a free port. */
  static async start(credentials?: Credentials): Promise<ObjectServer> {
    const server = new ObjectServer(credentials);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stores an object, or replaces it. @param path with its slash; `/bucket/key` for S3. */
  put(path: string, bytes: Uint8Array, { etag = "strong", lastModified = "date" }: PutOptions = {}): void {
    const tag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    this.#objects.set(path, {
      bytes,
      etag: etag === "none" ? undefined : etag === "weak" ? `W/${tag}` : tag,
      lastModified:
        lastModified === "none" ? undefined : new Date(1.7e12 + 1000 * bytes.byteLength).toUTCString(),
    });
  }

  remove(path: string): void {
    this.#objects.delete(path);
  }

  /** Faults for the first requests from now on, one each. */
  failNext(...faults: readonly Fault[]): void {
    const from = this.requests.length;
    this.fault = (_request, number) => faults[number - from];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", this.origin);
    if (this.#credentials !== undefined && !isSigned(request, url, this.#credentials)) {
      refuse(response, 403, "SignatureDoesNotMatch");
      return;
    }
    if (url.searchParams.get("list-type") === "2") {
      this.#list(url, response);
      return;
    }
    const path = decodeURIComponent(url.pathname);
    const target = /^\/redirect(\/.*)$/.exec(path)?.[1];
    if (target !== undefined) {
      response.writeHead(302, { location: target }).end();
      return;
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const served = { path, first: Number(range?.[1]), last: Number(range?.[2]), headers: request.headers };
    const number = this.requests.push(served) - 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    response.on("close", () => this.#atOnce--);
    const object = this.#objects.get(path);
    if (object === undefined) {
      refuse(response, 404, "NoSuchKey");
      return;
    }
    void this.#serve(object, served, this.fault(served, number), response);
  }

  async #serve(
    object: StoredObject,
    { first, last, headers }: ServedRequest,
    fault: Fault | undefined,
    response: ServerResponse,
  ): Promise<void> {
    const { etag, lastModified, bytes } = object;
    if (fault?.kind === "stall" && fault.after === undefined) return;
    if (fault?.kind === "status") {
      response.writeHead(fault.status, fault.headers).end();
      return;
    }
    if (fault?.kind === "delay") await new Promise((resolve) => setTimeout(resolve, fault.ms));
    const ifMatch = headers["if-match"];
    const ifUnmodified = headers["if-unmodified-since"];
    // If-Match compares strongly: a weak tag never matches.
    const matches = ifMatch === undefined || (ifMatch === etag && !ifMatch.startsWith("W/"));
    if (!matches || (ifUnmodified !== undefined && lastModified !== ifUnmodified)) {
      refuse(response, 412, "PreconditionFailed");
      return;
    }
    if (first >= bytes.byteLength) {
      refuse(response, 416, "InvalidRange", { "content-range": `bytes */${bytes.byteLength}` });
      return;
    }
    const shift = fault?.kind === "other-range" ? 1 : 0;
    const end = Math.min(last + 1, bytes.byteLength);
    const part = bytes.subarray(first + shift, end);
    response.setHeader("accept-ranges", "bytes");
    if (etag !== undefined) response.setHeader("etag", etag);
    if (lastModified !== undefined) response.setHeader("last-modified", lastModified);
    if (fault?.kind === "ignore-range") {
      response.writeHead(200, { "content-length": bytes.byteLength }).end(bytes);
      return;
    }
    response.setHeader("content-range", `bytes ${first + shift}-${end - 1}/${bytes.byteLength}`);
    const complete = fault?.kind === undefined || fault.kind === "delay" || fault.kind === "other-range";
    if (complete || fault.kind === "drop" || fault.kind === "stall") {
      response.setHeader("content-length", part.byteLength);
    }
    response.writeHead(206);
    if (fault?.kind === "excess") response.end(Buffer.concat([part, new Uint8Array(10)]));
    else if (fault?.kind === "truncate") response.end(part.subarray(0, fault.after));
    else if (fault?.kind === "stall") response.write(part.subarray(0, fault.after));
    else if (fault?.kind === "drop") {
      // Destroyed only when the bytes are on their way: they count as received.
      response.write(part.subarray(0, fault.after), () => setTimeout(() => response.destroy(), 5));
    } else response.end(part);
  }

  #list(url: URL, response: ServerResponse): void {
    const bucket = url.pathname.split("/")[1] ?? "";
    const prefix = url.searchParams.get("prefix") ?? "";
    const delimiter = url.searchParams.get("delimiter");
    const after = url.searchParams.get("continuation-token") ?? "";
    const keys = [...this.#objects.keys()]
      .filter((path) => path.startsWith(`/${bucket}/`))
      .map((path) => path.slice(bucket.length + 2))
      .filter((key) => key.startsWith(prefix) && key > after)
      .filter((key) => delimiter === null || !key.slice(prefix.length).includes(delimiter))
      .sort();
    const page = keys.slice(0, this.#pageKeys);
    const more = keys.length > page.length;
    const contents = page.map((key) => `<Contents><Key>${key}</Key></Contents>`).join("");
    const next = more ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    const xml = `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>${bucket}</Name><KeyCount>${page.length}</KeyCount><IsTruncated>${more}</IsTruncated>${contents}${next}</ListBucketResult>`;
    response.writeHead(200, { "content-type": "application/xml" }).end(xml);
  }
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/xml", ...headers });
  response.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code></Error>`);
}

/** Checks a signature of AWS's version 4 over method, path, query, the signed headers and the date. */
function isSigned(request: IncomingMessage, url: URL, credentials: Credentials): boolean {
  const authorization = request.headers.authorization ?? "";
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (match === null) return false;
  const [, accessKeyId, date = "", region = "", signedHeaders = "", signature] = match;
  const encode = (text: string): string =>
    encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const query = [...url.searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`).sort();
  const headerLines = signedHeaders
    .split(";")
    .map((name) => `${name}:${String(request.headers[name]).trim().replaceAll(/ +/g, " ")}\n`);
  const canonical = [
    request.method,
    url.pathname,
    query.join("&"),
    headerLines.join(""),
    signedHeaders,
    request.headers["x-amz-content-sha256"],
  ].join("\n");
  const hmac = (key: string | Buffer, text: string): Buffer =>
    createHmac("sha256", key).update(text).digest();
  const scope = `${date}/${region}/s3/aws4_request`;
  const hashed = createHash("sha256").update(canonical).digest("hex");
  const toSign = `AWS4-HMAC-SHA256\n${String(request.headers["x-amz-date"])}\n${scope}\n${hashed}`;
  let key = hmac(`AWS4${credentials.secretAccessKey}`, date);
  for (const part of [region, "s3", "aws4_request"]) key = hmac(key, part);
  return accessKeyId === credentials.accessKeyId && hmac(key, toSign).toString("hex") === signature;
}
