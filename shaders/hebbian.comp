#version 450

// The update rules of LVQ1 and LVQ2.1.
// entries: rows

#include "rows.glsl"
#include "options.glsl"
#include "nearest_pair.glsl"
#include "hebbian.glsl"
#include "each_row.glsl"
