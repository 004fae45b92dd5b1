#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/one_class.comp"
LVQ_KERNEL_END
