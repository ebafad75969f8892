// React components without a build step: what JSX compiles to, written by hand.
'use strict';

const {createElement} = require('react');

/** @param {{name: string}} props */
function Greeting({name}) {
  return createElement('p', {className: 'greeting'}, 'Hello, ', createElement('b', null, name), '!');
}

/** @param {{items: Array<{name: string, price: number, count: number}>}} props */
function Basket({items}) {
  const rows = items.map(({name, price, count}) =>
    createElement('li', {key: name}, `${count} × ${name}, ${(count * price).toFixed(2)} €`));
  const total = items.reduce((sum, {price, count}) => sum + count * price, 0);
  return createElement('section', {className: 'basket'},
    createElement('ul', null, rows),
    createElement('strong', null, `Total: ${total.toFixed(2)} €`));
}

module.exports = {Basket, Greeting};
