// Soft LVQ: negative log ratio of right to wrong class likelihood.
// entries: posterior

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"
#include "posterior.glsl"
#include "nllr.glsl"
#include "each_row.glsl"
