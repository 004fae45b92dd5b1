#version 450

// The update rule of Median LVQ: weights of the rows.
// entries: rows

#include "rows.glsl"
#include "options.glsl"
#include "nearest_pair.glsl"
#include "medoid.glsl"
#include "each_row.glsl"
