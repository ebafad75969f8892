/** The types of "jshost/bindings", for `import`. */

import type {BindingsClass} from './bindings_types.cjs';

export type {BindingsOptions, BindingsObject} from './bindings_types.cjs';
export declare const Bindings: BindingsClass;
export type Bindings = InstanceType<BindingsClass>;
export default Bindings;
