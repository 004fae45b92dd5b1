#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/radam.comp"
LVQ_KERNEL_END
