/** The package's version, as written into runs and models. */
import { createRequire } from "node:module";

const manifest = createRequire(import.meta.url)("../package.json") as { version: string };

export const VERSION: string = manifest.version;
