#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/omega.comp"
LVQ_KERNEL_END
