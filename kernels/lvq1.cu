#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/lvq1.comp"
LVQ_KERNEL_END
