#version 450

// LVQ2.1's cost.
// entries: winner_pair

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"
#include "lvq21.glsl"
#include "winner_pair.glsl"
#include "each_row.glsl"
