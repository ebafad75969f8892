/** A conversation with a model that keeps its state in Python. Run: node chat.mjs */

import Bindings from '../../jshost/js/embedding/bindings.mjs'; // in a project of yours: from 'jshost/bindings'

const chat = new Bindings({model: 'parrot-2'}, {controller: new URL('chat.py', import.meta.url)});

for (const prompt of ['Hello!', 'How are you?']) {
  const answer = chat.stream('complete', {prompt});
  for await (const token of answer) process.stdout.write(token);
  console.log(`[${answer.result.tokens} tokens]`);
}
console.log(await chat.getProperty('history'));
await chat.end();
