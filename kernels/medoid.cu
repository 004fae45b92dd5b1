#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/medoid.comp"
LVQ_KERNEL_END
