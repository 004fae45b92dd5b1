#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/glvq.comp"
LVQ_KERNEL_END
