// The components, for the server and the browser.
import {useState} from 'react';

/** @param {{notes: {id: number, title: string, html: string, written: string}[]}} props */
export function Notes({notes}) {
  const [wanted, setWanted] = useState('');
  const shown = notes.filter(({title}) => title.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <>
      <h1>{shown.length} of {notes.length} notes</h1>
      <input type="search" placeholder="Filter" value={wanted}
        onChange={(event) => setWanted(event.target.value)} />
      {shown.map(({id, title, html, written}) => (
        <article key={id}>
          <h2>{title}</h2>
          <small>{written}</small>
          <div dangerouslySetInnerHTML={{__html: html}} />
        </article>
      ))}
    </>
  );
}
