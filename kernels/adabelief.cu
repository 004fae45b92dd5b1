#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/adabelief.comp"
LVQ_KERNEL_END
