#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/take.comp"
LVQ_KERNEL_END
