#!/usr/bin/env node
/**
 * The `sparseloom` command. Compiled code is cached before anything else is loaded: run from source, every thread
 * would strip the types of every file again, which costs 20 MB of memory a thread and a quarter of a second.
 */
import { enableCompileCache, getCompileCacheDir } from "node:module";

enableCompileCache();
// Worker threads take it from the environment.
const directory = getCompileCacheDir();
if (directory !== undefined) process.env["NODE_COMPILE_CACHE"] ??= directory;
await import("./program.ts");
