#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/adan.comp"
LVQ_KERNEL_END
