/**
 * The seam between a corpus and where its bytes are: a local file, an object on an HTTP server or in S3. Whatever
 * reads Arrow data knows only this. Depends on nothing.
 */

/** Content of a known size, readable by byte ranges. */
export interface RangeReader {
  /** Path or URL, as messages name it. */
  readonly path: string;
  /** Bytes, when it was first opened. */
  readonly size: number;
  /** Tells this content from another under the same name: ETag, or inode, size and time of change. */
  readonly identity: string;
  /**
   * True when each read costs a round trip over a network: then few long reads, several at a time, are better than
   * many short ones.
   */
  readonly isRemote: boolean;
  /**
   * Fills `into`, which may lie in shared memory, from byte `position` on.
   * @throws CorpusError `changed` when it is not the content any more that was opened, `unreadable`, `unreachable`;
   * the signal's reason when it is aborted.
   */
  read(into: Uint8Array, position: number, signal?: AbortSignal): Promise<void>;
}
