// tsc has already turned TypeScript into modules; rollup only joins them into the two files that are handed out.
export default [
  { input: 'build/esm/index.js', output: { file: 'dist/trtc.esm.js', format: 'es' } },
  { input: 'build/esm/umd.js', output: { file: 'dist/trtc.js', format: 'umd', name: 'TRTC', exports: 'default' } },
];
