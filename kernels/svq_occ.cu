#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/svq_occ.comp"
LVQ_KERNEL_END
