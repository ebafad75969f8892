// The functions that the site calls. Runs in: Node worker.
'use strict';

const {readFileSync} = require('node:fs');
const {join} = require('node:path');
const {build, transformSync} = require('esbuild');
const MarkdownIt = require('markdown-it');
const {createElement} = require('react');
const {renderToString} = require('react-dom/server');

const JSX = {loader: 'jsx', jsx: 'automatic'};

// Components are written in JSX: compiled as they are loaded, so that an edit is seen as any other.
require.extensions['.jsx'] = (module, file) => {
  const {code} = transformSync(readFileSync(file, 'utf8'), {...JSX, format: 'cjs', sourcefile: file});
  module._compile(code, file);
};
const components = require('./frontend/components.jsx');

const markdownIt = new MarkdownIt({linkify: true, typographer: true});

/** Markdown to HTML; HTML in the text is escaped. */
function markdown({text}) {
  return markdownIt.render(text);
}

/** A component to HTML that `hydrateRoot` takes over. */
function render({component, props}) {
  return renderToString(createElement(components[component], props));
}

/** What the browser runs, as one script. In production, build it once, into a static file. */
async function bundle() {
  const {outputFiles} = await build({
    entryPoints: [join(__dirname, 'frontend', 'client.jsx')],
    bundle: true,
    write: false,
    jsx: 'automatic',
    define: {'process.env.NODE_ENV': '"development"'},
  });
  return outputFiles[0].text;
}

module.exports = {
  functions: {bundle, markdown, render},
};
