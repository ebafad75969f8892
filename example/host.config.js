// The example's JavaScript functions. Runs in: Node worker.
// Each answers in one of the three ways that there are: a plain return, a promise, a callback.
'use strict';

const {PassThrough} = require('node:stream');
const {text: readText} = require('node:stream/consumers');
const katex = require('katex');
const MarkdownIt = require('markdown-it');
const {createElement} = require('react');
const {renderToPipeableStream} = require('react-dom/server');
const components = require('./components.js');

const markdownIt = new MarkdownIt({linkify: true, typographer: true});

/** Markdown to HTML: what a function returns is its result. */
function markdown({text}) {
  return markdownIt.render(text);
}

/** A React component to HTML: the promise of a result, here once everything suspended is there. */
async function render({component, props = {}}) {
  if (!Object.hasOwn(components, component)) {
    const known = Object.keys(components).join(', ');
    throw new Error(`There is no component "${component}"; example/components.js has: ${known}.`);
  }

  return new Promise((resolve, reject) => {
    const {pipe} = renderToPipeableStream(createElement(components[component], props), {
      onAllReady: () => resolve(readText(pipe(new PassThrough()))),
      onError: reject,
    });
  });
}

/** TeX to HTML and MathML: a callback, for code that has one. */
function math({tex, displayMode = false}, callback) {
  let html;
  try {
    html = katex.renderToString(tex, {displayMode});
  } catch (error) {
    callback(error);
    return;
  }

  callback(null, html);
}

module.exports = {
  functions: {markdown, math, render},
};
