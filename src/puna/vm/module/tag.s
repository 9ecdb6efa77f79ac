# The exception tag that setjmp and longjmp compile to; one i32, the address of what was thrown.
	.tagtype	__c_longjmp	i32
	.globl	__c_longjmp
__c_longjmp:
