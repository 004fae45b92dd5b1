#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/lvq21.comp"
LVQ_KERNEL_END
