// Runs in the browser: makes what the server rendered come alive.
import {createRoot, hydrateRoot} from 'react-dom/client';
import * as components from './components.jsx';

const Component = components[document.currentScript.dataset.component];
const props = JSON.parse(document.querySelector('#props').textContent);
const place = document.querySelector('#app');

if (place.hasChildNodes()) hydrateRoot(place, <Component {...props} />);
else createRoot(place).render(<Component {...props} />); // no host answered: see the template
