// SPDX-License-Identifier: Apache-2.0
//
// Puts in their places what the compiler does not: the library in Wasm with its bindings, and the package beside the example's page.

import { cpSync } from 'node:fs';

cpSync('src/wasm', 'dist/wasm', { recursive: true });
cpSync('dist', 'example/dist/lib', { recursive: true });
