#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/relevance.comp"
LVQ_KERNEL_END
