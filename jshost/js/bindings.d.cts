/** The types of "jshost/bindings", for `require`. */

import {BindingsClass} from './bindings_types.cjs';

declare const Bindings: BindingsClass & {Bindings: BindingsClass; default: BindingsClass};
type Bindings = InstanceType<BindingsClass>;
export = Bindings;
